// Types of sanitizer-reports.mjs, for the house tests.
export interface Suppression {
  readonly kind: string
  readonly name: string
}
export declare function parseSuppressions(text: string): Suppression[]
export declare function splitReports(text: string): string[]
export declare function isForgiven(report: string, suppressions: readonly Suppression[]): boolean
