// Why a classifier takes a call no more, or not now.
import { RunError } from '../util/errors.js';

/**
 * A classifier has as many texts without an answer as its `maxQueue`; the call changed nothing and can be made again.
 *
 * @example
 * ```ts
 * import { QueueFullError, type Classifier } from 'bertune';
 *
 * export async function patient(classifier: Classifier, text: string) {
 *   for (;;)
 *     try {
 *       return await classifier.classify(text);
 *     } catch (error) {
 *       if (!(error instanceof QueueFullError)) throw error;
 *       await new Promise((resolve) => setTimeout(resolve, 100));
 *     }
 * }
 * ```
 */
export class QueueFullError extends RunError {
  override name = 'QueueFullError';
  /** That another try makes sense, for callers that ask errors in general. */
  readonly retryable = true;
}

/**
 * A classifier is closed, or is closing.
 *
 * @example
 * ```ts
 * import { ClassifierClosedError, createClassifier } from 'bertune';
 *
 * const classifier = await createClassifier('out');
 * await classifier.close();
 * await classifier.classify('late').catch((error) => console.log(error instanceof ClassifierClosedError));
 * ```
 */
export class ClassifierClosedError extends RunError {
  override name = 'ClassifierClosedError';

  constructor() {
    super('The classifier is closed: close it only after its last call');
  }
}
