// How an option's name is written in each place: camelCase in TypeScript, kebab-case as a flag, any of three in a file.

/** `learning-rate`, `learning_rate`, `learningRate` and `LEARNING_RATE` all become `learningRate`. */
export function camelCase(name: string): string {
  const parts = name.split(/[-_]+/).filter((part) => part !== '');
  const words = parts.map((part) => (part === part.toUpperCase() ? part.toLowerCase() : part));
  return words.map((word, i) => (i === 0 ? lowerFirst(word) : upperFirst(word))).join('');
}

/** The flag without its dashes: `learningRate` becomes `learning-rate`, `adamBeta1` becomes `adam-beta1`. */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** HF's spelling: `learningRate` becomes `learning_rate`. */
export function snakeCase(name: string): string {
  return kebabCase(name).replaceAll('-', '_');
}

function lowerFirst(word: string): string {
  return word.charAt(0).toLowerCase() + word.slice(1);
}

function upperFirst(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
