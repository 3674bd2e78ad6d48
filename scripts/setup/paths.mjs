// Folders of the package.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectRoot = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const libtorchDir = join(projectRoot, '.libtorch');
export const buildDir = join(projectRoot, 'build');
export const distDir = join(projectRoot, 'dist');
