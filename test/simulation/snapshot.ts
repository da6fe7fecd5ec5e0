type Contents =
  | { kind: 'map'; entries: [unknown, unknown][] }
  | { kind: 'set'; values: unknown[] }
  | { kind: 'array'; values: unknown[] }
  | { kind: 'object'; properties: PropertyDescriptorMap };

/**
 * The contents of an object and of all objects that it refers to. `restore` puts the contents back into the same objects,
 * so that references to them, also from closures, stay valid. Functions are left as they are.
 */
export class Snapshot {
  private readonly contents = new Map<object, Contents>();

  constructor(root: object) {
    this.take(root);
  }

  restore(): void {
    for (const [object, contents] of this.contents) putBack(object, contents);
  }

  private take(value: unknown): void {
    if (typeof value !== 'object' || value === null || this.contents.has(value)) return;
    const contents = contentsOf(value);
    this.contents.set(value, contents);
    switch (contents.kind) {
      case 'map':
        for (const [key, each] of contents.entries) {
          this.take(key);
          this.take(each);
        }
        break;
      case 'set':
      case 'array':
        for (const each of contents.values) this.take(each);
        break;
      case 'object':
        for (const { value: each } of Object.values(contents.properties)) this.take(each);
    }
  }
}

function contentsOf(object: object): Contents {
  if (object instanceof Map)
    return { kind: 'map', entries: [...(object as Map<unknown, unknown>)] };
  if (object instanceof Set) return { kind: 'set', values: [...(object as Set<unknown>)] };
  if (Array.isArray(object)) return { kind: 'array', values: [...(object as unknown[])] };
  return { kind: 'object', properties: Object.getOwnPropertyDescriptors(object) };
}

function putBack(object: object, contents: Contents): void {
  switch (contents.kind) {
    case 'map': {
      const map = object as Map<unknown, unknown>;
      map.clear();
      for (const [key, value] of contents.entries) map.set(key, value);
      break;
    }
    case 'set': {
      const set = object as Set<unknown>;
      set.clear();
      for (const value of contents.values) set.add(value);
      break;
    }
    case 'array':
      (object as unknown[]).splice(0, Infinity, ...contents.values);
      break;
    case 'object':
      for (const key of Reflect.ownKeys(object)) {
        if (!Object.hasOwn(contents.properties, key)) Reflect.deleteProperty(object, key);
      }
      Object.defineProperties(object, contents.properties);
  }
}
