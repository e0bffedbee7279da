/** Files that the build for browsers takes in the place of others. */
export const REPLACED = { "src/platform/index.ts": "src/platform/browser.ts" };
