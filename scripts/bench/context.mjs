// What all measurements of one call share.

/**
 * @typedef {object} Context
 * @property {import('./machine.mjs').Machine} machine
 * @property {import('./reference.mjs').Reference | null} reference null where nothing is compared
 * @property {string} folder for files that are not kept
 */

export {};
