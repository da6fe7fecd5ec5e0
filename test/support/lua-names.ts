import type { Redis } from 'ioredis';

export interface LuaNames {
  /** Names that the text reads or assigns and does not declare. */
  free: Set<string>;
  /** Local names that are valid from their declaration to the end of the text. */
  declared: Set<string>;
}

/** Compiles Lua with the compiler of a Redis, and reads from the result which names the text uses and declares. */
export async function luaNames(redis: Redis, text: string): Promise<LuaNames> {
  const compile = 'return string.dump(assert(loadstring(ARGV[1])))';
  const code = new Bytecode((await redis.callBuffer('EVAL', compile, 0, text)) as Buffer);
  const free = new Set<string>();
  const declared = code.readFunction(free);
  return { free, declared };
}

/**
 * The header of the bytecode: version 5.1, format, little-endian, the sizes of int, size_t, instruction and number, and
 * floats as numbers.
 */
const HEADER = Buffer.from('1b4c75615100010408040800', 'hex');
const GET_GLOBAL = 5;
const SET_GLOBAL = 7;
const [NIL, BOOLEAN, NUMBER, STRING] = [0, 1, 3, 4];

/** Reads the bytecode that `string.dump` of Lua 5.1 returns, in the same way as `lundump.c` of Lua. */
class Bytecode {
  private at = HEADER.length;

  constructor(private readonly bytes: Buffer) {
    const header = bytes.subarray(0, this.at).toString('hex');
    if (header !== HEADER.toString('hex')) throw new Error(`another kind of bytecode: ${header}`);
  }

  /**
   * Adds the globals of this function and of the functions in it to `globals`. Returns its own locals that are valid up to
   * its end.
   */
  readFunction(globals: Set<string>): Set<string> {
    this.string();
    this.skip(4 + 4 + 4); // first and last line; upvalues, parameters, varargs, stack
    const code = this.list(() => this.int());
    const constants = this.list(() => this.constant());
    for (const instruction of code) {
      const operation = instruction & 0x3f;
      if (operation !== GET_GLOBAL && operation !== SET_GLOBAL) continue;
      globals.add(constants[instruction >>> 14] ?? '');
    }
    this.list(() => this.readFunction(globals));
    this.list(() => this.int()); // lines
    const locals = this.list(() => ({ name: this.string(), begin: this.int(), end: this.int() }));
    this.list(() => this.string()); // upvalues
    const toTheEnd = locals.filter(({ end }) => end === code.length - 1);
    return new Set(toTheEnd.map(({ name }) => name));
  }

  private constant(): string {
    const type = this.bytes[this.at];
    this.skip(1);
    if (type === STRING) return this.string();
    if (type === NUMBER) this.skip(8);
    else if (type === BOOLEAN) this.skip(1);
    else if (type !== NIL) throw new Error(`a constant of type ${type ?? ''}`);
    return '';
  }

  private list<Item>(read: () => Item): Item[] {
    return Array.from({ length: this.int() }, read);
  }

  /** Reads a string. Its length includes the zero at its end. */
  private string(): string {
    const length = Number(this.bytes.readBigUInt64LE(this.at));
    this.skip(8 + length);
    return this.bytes.toString('latin1', this.at - length, Math.max(this.at - 1, 0));
  }

  private int(): number {
    this.skip(4);
    return this.bytes.readUInt32LE(this.at - 4);
  }

  private skip(count: number): void {
    this.at += count;
  }
}
