/**
 * Makes `instanceof` recognize what another copy of this package has made. A process has two copies if some of its code
 * loads the package as ES modules and other code as CommonJS, or if a bundle contains one. Both copies have to be of a
 * version that calls this with the same name. Classes that extend `type` are not affected.
 */
export function recognizeInAllCopies(type: abstract new (...args: never) => object, name: string) {
  const mark = Symbol.for(`mcp-anynode.${name}`);
  const ordinary = Function.prototype[Symbol.hasInstance];
  Object.defineProperty(type.prototype, mark, { value: true });
  Object.defineProperty(type, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== type) return ordinary.call(this as () => void, value);
      return typeof value === 'object' && value !== null && mark in value;
    },
  });
}
