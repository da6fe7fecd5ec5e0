/** So many test files run at a time. */
export const WORKERS = 2;
