import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest';
import { startNode, type NodeProcess } from '../../rig/processes.js';
import {
  RawClient,
  request,
  type Headers,
  type JsonRpc,
  type RawClientOptions,
  type SseReader,
} from '../../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../../support/redis-fixture.js';
import type { Methods, MountOptions } from '../node-process.js';

const script = new URL('../node-process.ts', import.meta.url);

type Params<M extends keyof Methods> = Parameters<Methods[M]> extends [infer P] ? P : object;
type Result<M extends keyof Methods> = Awaited<ReturnType<Methods[M]>>;

/** A node of a test cluster: one mount in one process. */
export class TestNode {
  nodeId = '';

  constructor(
    readonly process: NodeProcess,
    readonly mount: string,
  ) {}

  /** Of its MCP endpoint. */
  get url(): string {
    return `${this.process.url}/${this.mount}`;
  }

  /** One of the methods of `node-process.ts`, on this node. */
  call<M extends keyof Methods>(method: M, params?: Omit<Params<M>, 'mount'>): Promise<Result<M>> {
    return this.process.call<Result<M>>(method, { mount: this.mount, ...params });
  }

  /** Resolves when something has happened on it so many times: see `Happenings`. */
  async until(of: string, times = 1): Promise<void> {
    await this.call('until', { of, times });
  }
}

export type Nodes = [TestNode, TestNode, TestNode];

export interface ClusterOptions extends Partial<MountOptions> {
  /** The test makes the nodes complain; otherwise a warning or an error of theirs fails it. */
  mayComplain?: boolean;
}

/** The processes of one test file. */
export interface Cluster {
  /** Mounts a cluster of its own on the three processes, for one test: nodes, prefix and options are all fresh. */
  mount: (options?: ClusterOptions | ((node: number) => ClusterOptions)) => Promise<Nodes>;
  readonly processes: readonly NodeProcess[];
}

/** Starts three processes before the tests of a file, and stops them afterwards. */
export function useCluster(): Cluster {
  const processes: NodeProcess[] = [];
  beforeAll(async () => {
    processes.push(...(await Promise.all([0, 1, 2].map(() => startProcess()))));
  });
  afterAll(async () => {
    await Promise.all(processes.map((process) => process.stop()));
  });

  const mount: Cluster['mount'] = async (options = {}) => {
    const prefix = uniquePrefix();
    // One path for all: a balancer passes it on as it is.
    const name = newMountName();
    const optionsOf = typeof options === 'function' ? options : () => options;
    const nodes = await Promise.all(
      processes.map((process, at) => mountOn(process, { prefix, ...optionsOf(at) }, name)),
    );
    return nodes as Nodes;
  };
  return { mount, processes };
}

/** As many nodes, each on a process of its own that the test may do anything to. */
export async function startNodes(count: number, options: ClusterOptions = {}): Promise<TestNode[]> {
  const processes = await Promise.all(Array.from({ length: count }, startProcess));
  onTestFinished(async () => {
    await Promise.all(processes.map((process) => process.stop({ graceMs: 0 })));
  });
  const [prefix, name] = [uniquePrefix(), newMountName()];
  return Promise.all(processes.map((process) => mountOn(process, { prefix, ...options }, name)));
}

function startProcess(): Promise<NodeProcess> {
  return startNode({ script, env: { NODE_OPTIONS: '--expose-gc' } });
}

function newMountName(): string {
  return `mcp-${randomBytes(6).toString('hex')}`;
}

/** One node on one process, until the test is over. */
async function mountOn(
  process: NodeProcess,
  { mayComplain = false, ...options }: ClusterOptions,
  name = newMountName(),
): Promise<TestNode> {
  const node = new TestNode(process, name);
  const given: MountOptions = { redis: redisUrl(), prefix: uniquePrefix(), ...options };
  let gone = false;
  void process.exited.then(() => (gone = true));
  onTestFinished(async () => {
    if (gone) return;
    const complaints = await node.call('unmount');
    if (!mayComplain) expect(complaints).toEqual([]);
  });
  node.nodeId = await process.call<string>('mount', { name: node.mount, options: given });
  return node;
}

/** A client whose connections are closed when the test is over. */
export function newClient(options?: RawClientOptions): RawClient {
  const client = new RawClient(options);
  onTestFinished(() => client.close());
  return client;
}

/** A client that can be asked everything, with a session that `node` has made. */
export async function clientOf(node: TestNode, headers: Headers = {}): Promise<RawClient> {
  const client = newClient({ headers });
  const capabilities = { elicitation: {}, sampling: {}, roots: { listChanged: true } };
  await client.initialize(node.url, { capabilities });
  return client;
}

interface ToolResult {
  content: { text: string }[];
  isError?: boolean;
}

/** Calls a tool on a node and returns its text. */
export async function callTool(
  client: RawClient,
  node: TestNode,
  name: string,
  args: Record<string, unknown> = {},
): Promise<string> {
  return (await startTool(client, node, name, args)).text();
}

export interface RunningTool {
  id: number;
  stream: SseReader;
  /** The node that runs it. */
  node: TestNode;
  /** Of its result, on the stream that it was started with; throws if it is an error. */
  text: () => Promise<string>;
}

/** Starts a call of a tool, whose stream can be read meanwhile. */
export async function startTool(
  client: RawClient,
  node: TestNode,
  name: string,
  args: Record<string, unknown> = {},
  meta?: Record<string, unknown>,
): Promise<RunningTool> {
  const id = client.nextId();
  const params = { name, arguments: args, ...(meta && { _meta: meta }) };
  const answer = (await client.post(node.url, request(id, 'tools/call', params))).expect(200);
  expect(answer.node).toBe(node.nodeId);
  const text = async (): Promise<string> => resultText(await answer.answer(id));
  return { id, stream: answer.sse, node, text };
}

/** Starts a call that stays until `release`, and waits until it runs. */
export async function holdTool(
  client: RawClient,
  node: TestNode,
  key: string,
): Promise<RunningTool> {
  const running = await startTool(client, node, 'hold', { key });
  await node.until(`held:${key}`);
  return running;
}

/** The text that a tool answered with. Throws if it failed. */
export function resultText(message: JsonRpc | undefined): string {
  const { result, error } = message ?? {};
  if (error !== undefined) throw new Error(`The call failed: ${error.message}`);
  if (result === undefined) throw new Error('This is no result');
  const { content, isError } = result as unknown as ToolResult;
  const text = content[0]?.text ?? '';
  if (isError) throw new Error(`The tool failed: ${text}`);
  return text;
}

/** The data of the log messages on a stream so far. */
export function logged(stream: SseReader): unknown[] {
  return stream.messages
    .filter(({ method }) => method === 'notifications/message')
    .map(({ params }) => params?.['data']);
}

/** The text of one log message. */
export const says =
  (data: unknown) =>
  ({ message }: { message: { params?: Record<string, unknown> } | undefined }): boolean =>
    message?.params?.['data'] === data;
