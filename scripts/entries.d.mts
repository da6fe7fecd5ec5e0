export interface PackageEntry {
  name: string;
  file: string;
  source: string;
  isDual: boolean;
}
export declare const ENTRIES: PackageEntry[];
export declare function manifestFields(): Record<string, unknown>;
