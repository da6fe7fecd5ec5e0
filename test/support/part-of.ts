/** Makes a role of a backplane from the few functions that a test needs. A call of any other function throws a TypeError. */
export function partOf<Role extends object>(part: Partial<Role>): Role {
  return part as Role;
}
