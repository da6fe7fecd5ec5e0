/** So many test files run at a time, most of which wait for a while; those of clusters are fewer. */
export const WORKERS = 3;
