// Types of sources.mjs, for the house tests.
export declare const root: string
export declare function belongsTo(platform: string, name: string): boolean
export declare function nativeSources(platform?: string): string[]
