/** How many test files run at a time. Most of them only wait at times. */
export const WORKERS = 3;
