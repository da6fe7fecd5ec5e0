/**
 * Hides what looks like a secret on screens. Every pattern has bounded repetitions, so that it matches in linear time. Texts
 * are also cut before they are matched; see `preview.ts`.
 */

export const HIDDEN = '***';

/** Names whose values are secrets. `progressToken` and `tokens` are not among them. */
const NAME =
  '(?:(?<!progress)token|secrets?|pass(?:wor)?ds?|passphrase|passcode|pwd|authorization|cookies?|credentials?|signature|sig' +
  '|(?:api|access|private|secret|account|signing|encryption|master|shared|auth|client)[-_ ]?keys?|bearer|jwt|auth)';

const WHOLE_NAME = new RegExp(`${NAME}$`, 'i');

/** Returns true if the value of a member with this name must be hidden. */
export function isSecretName(name: string): boolean {
  return WHOLE_NAME.test(name.slice(-64));
}

/** Patterns of secrets, applied in this order. The replacement keeps the text in front of the secret. */
const PATTERNS: [pattern: RegExp, shown: string][] = [
  // The user and password of a URI.
  [/\/\/[^\s/@:"'<>]{0,256}:[^\s/"'<>]{0,512}@/g, `//${HIDDEN}@`],
  [/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,8192}(?:-----END [A-Z ]{0,40}-----)?/g, HIDDEN],
  // A whole header. Its value may have several parts.
  [/(\b(?:authorization|cookie)\s{0,8}:\s{0,8})(?![\s\\"'])[^\r\n]{1,4096}/gi, `$1${HIDDEN}`],
  [/\b(Bearer|Basic|Digest|Negotiate)\s{1,8}(?!\*)[^\s"',;&<>{}]{1,4096}/gi, `$1 ${HIDDEN}`],
  // A JSON Web Token, or the beginning of one.
  [/\beyJ[\w-]{5,4096}(?:\.[\w-]{0,4096}){0,4}/g, HIDDEN],
  // Keys that can be recognized by their beginning: AWS, GitHub, GitLab, Slack, Google, npm, Stripe, OpenAI and others.
  [/\b(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{12,128}/g, HIDDEN],
  [
    /\b(?:gh[opsur]_|github_pat_|glpat-|npm_|hf_|dop_v1_|pypi-|shpat_|AIza|ya29\.|SG\.)[\w.-]{10,512}/g,
    HIDDEN,
  ],
  [/\b(?:sk|pk|rk|whsec)[-_][\w-]{10,512}/g, HIDDEN],
  [/\bxox[a-z]-[\w-]{5,512}|\bxapp-[\w-]{5,512}/g, HIDDEN],
  // `--password x` on a command line.
  [
    new RegExp(`((?<![\\w-])--?[\\w-]{0,32}${NAME} {1,4})(?![\\s*-])[^\\s]{1,512}`, 'gi'),
    `$1${HIDDEN}`,
  ],
  // `name=value` in configurations and URLs, `"name": "value"` in JSON, `name: value` in headers.
  [
    new RegExp(
      `(${NAME}\\\\?["']?\\s{0,8}[:=]\\s{0,8})` +
        `(?:\\\\?"[^"\\r\\n]{0,4096}"?|'[^'\\r\\n]{0,4096}'?|[^\\s"'\\\\,;&})]{1,4096})`,
      'gi',
    ),
    `$1${HIDDEN}`,
  ],
];

/** Returns the text with `***` in place of everything that looks like a secret. */
export function withoutSecrets(text: string): string {
  let shown = text;
  for (const [pattern, instead] of PATTERNS) shown = shown.replace(pattern, instead);
  return shown;
}
