/** A role of a backplane of which a test needs some functions only. A call of another one throws a TypeError. */
export function partOf<Role extends object>(part: Partial<Role>): Role {
  return part as Role;
}
