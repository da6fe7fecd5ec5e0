import { connect, type Socket } from 'node:net';
import { ResponseParser } from './response-parser.js';

export interface Reply {
  status: number;
  /** The status line and the headers. */
  head: string;
  /** The body. It is empty if it was read piece by piece. */
  body: string;
}

export interface Reading {
  /** Called with each piece of the body. If it is set, the body is not collected. */
  onText?: (text: string) => void;
  onHead?: (status: number) => void;
}

interface Exchange extends Reading {
  resolve: (reply: Reply) => void;
  reject: (error: Error) => void;
}

/** A keep-alive connection, on which one request is under way at a time. */
export class Connection {
  readonly #socket: Socket;
  #exchange: Exchange | undefined;
  #status = 0;
  #head = '';
  #body = '';
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const parser = new ResponseParser({
      onHead: (status, head) => {
        this.#status = status;
        this.#head = head;
        this.#body = '';
        this.#exchange?.onHead?.(status);
      },
      onText: (text) => {
        const onText = this.#exchange?.onText;
        if (onText === undefined) this.#body += text;
        else onText(text);
      },
      onEnd: () => {
        const exchange = this.#exchange;
        this.#exchange = undefined;
        exchange?.resolve({ status: this.#status, head: this.#head, body: this.#body });
      },
    });
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      try {
        parser.push(text);
      } catch (error) {
        this.#fail(error as Error);
      }
    });
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('The connection was closed by the server')));
  }

  static open(url: string): Promise<Connection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Connection(socket));
      });
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends a request. Resolves when the response has ended. Rejects if the connection ends first. */
  send(request: string, reading: Reading = {}): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new Error('The connection is closed'));
        return;
      }
      this.#exchange = { ...reading, resolve, reject };
      this.#socket.write(request, 'latin1');
    });
  }

  close(): void {
    this.#exchange = undefined;
    this.#closed = true;
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    const exchange = this.#exchange;
    this.close();
    exchange?.reject(error);
  }
}

/** Connections that wait for their next request, by URL. */
export class Connections {
  readonly #idle = new Map<string, Connection[]>();

  async take(url: string): Promise<Connection> {
    const idle = this.#idle.get(url);
    for (let next = idle?.pop(); next !== undefined; next = idle?.pop()) {
      if (!next.closed) return next;
    }
    return Connection.open(url);
  }

  giveBack(url: string, connection: Connection): void {
    if (connection.closed) return;
    const idle = this.#idle.get(url) ?? [];
    idle.push(connection);
    this.#idle.set(url, idle);
  }

  async with<T>(url: string, use: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.take(url);
    try {
      return await use(connection);
    } finally {
      this.giveBack(url, connection);
    }
  }
}
