// The rules for prose that are this project's own.
import { search } from 'nlcst-search';

const MOST_WORDS = 35;

/** What the documents and comments do not say, and what they do instead. */
const AVOIDED = {
  'name the thing: the node, the client, the owner': 'whoever, nobody, somebody, someone, anybody',
  'use the word of docs/glossary.md':
    'seam, seams, tributary, tributaries, obituary, obituaries, shelf',
  'leave it out, or give a figure':
    'actually, anyway, basically, blazing, clearly, easily, huge, obviously, of course, quite, ' +
    'really, seamless, seamlessly, simply, tremendous, very',
  'use a shorter phrase':
    'at this time, hence, in order to, in terms of, in the event of, leverage, prior to, upon, ' +
    'utilize, whereas, whether or not, with regard to',
};

/**
 * Takes the full stop out of the word before it. The parser leaves it there, as if the word were an abbreviation, where the
 * next sentence, cell or item begins with code or a small letter.
 */
export function retextFullStops() {
  return (tree) => {
    for (const sentence of sentencesOf(tree)) {
      sentence.children = sentence.children.flatMap((node) => {
        const last = node.children?.at(-1);
        if (node.children?.length !== 2 || last.value !== '.') return [node];
        return [{ ...node, children: node.children.slice(0, -1) }, last];
      });
    }
  };
}

/** Finds words and phrases that the project avoids. */
export function retextAvoid() {
  const insteadOf = new Map();
  for (const [instead, phrases] of Object.entries(AVOIDED)) {
    for (const phrase of phrases.split(', ')) insteadOf.set(phrase, instead);
  }
  return (tree, file) => {
    search(tree, [...insteadOf.keys()], (match, _index, _parent, phrase) => {
      file.message(`Avoid "${phrase}": ${insteadOf.get(phrase)}.`, match[0].position);
    });
  };
}

/** Finds long sentences. A semicolon ends a sentence here, as in a list of long items. */
export function retextSentenceLength() {
  return (tree, file) => {
    for (const sentence of sentencesOf(tree)) {
      let words = 0;
      let longest = 0;
      for (const { type, value } of sentence.children) {
        if (type === 'WordNode' || type === 'SourceNode') words++;
        if (type === 'PunctuationNode' && /[.;?!]/.test(value)) words = 0;
        longest = Math.max(longest, words);
      }
      if (longest > MOST_WORDS) {
        const begin = sentence.children.find(({ type }) => type !== 'WhiteSpaceNode');
        file.message(
          `The sentence goes on for ${longest} words, at most ${MOST_WORDS}. Make two of it, or a list.`,
          begin.position,
        );
      }
    }
  };
}

function sentencesOf(tree) {
  const parts = tree.children.flatMap(({ children = [] }) => children);
  return parts.filter(({ type }) => type === 'SentenceNode');
}
