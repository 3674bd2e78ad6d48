// What a LoRA adapter is: low-rank updates of linear layers (Hu et al. 2021) and the tensors that are saved with them.
import type { BertConfig } from './config.js';
import { parameterShapes } from './parameters.js';

/** An adapter of one model. */
export interface Lora {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** Whether updates are scaled by alpha / sqrt(rank) in place of alpha / rank (Kalajdzievski 2023). */
  readonly isRankStabilised: boolean;
  /** Full names of the linear layers with an adapter, in the model's order. */
  readonly modules: readonly string[];
  /** Tensors of the model that are trained and saved with the adapter: the classifier's, and others that the base lacks. */
  readonly saved: readonly string[];
  /** PEFT's modules_to_save for `saved`. */
  readonly modulesToSave: readonly string[];
  /** The model that the adapter is laid on: a folder or a hub id. */
  readonly base: string;
  readonly revision: string | null;
}

/** What an adapter's update B A is multiplied by. */
export function scalingOf({ alpha, rank, isRankStabilised }: Lora): number {
  return alpha / (isRankStabilised ? Math.sqrt(rank) : rank);
}

/** The adapter's own tensors by their names in the session, in its order. */
export function loraShapes(config: BertConfig, { modules, rank }: Lora): Map<string, number[]> {
  const shapes = parameterShapes(config);
  return new Map(
    modules.flatMap((module): [string, number[]][] => {
      const [outputs = 0, inputs = 0] = shapes.get(`${module}.weight`) ?? [];
      return [
        [`${module}.lora_A.weight`, [rank, inputs]],
        [`${module}.lora_B.weight`, [outputs, rank]],
      ];
    }),
  );
}

/** All that an adapter's file holds, by the names in the session. */
export function adapterShapes(config: BertConfig, lora: Lora): Map<string, number[]> {
  const shapes = parameterShapes(config);
  return new Map([
    ...loraShapes(config, lora),
    ...lora.saved.map((name): [string, number[]] => [name, shapes.get(name) ?? []]),
  ]);
}
