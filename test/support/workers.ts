/** So many test files run at a time, most of which wait for a while. */
export const WORKERS = 3;
