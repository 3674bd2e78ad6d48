// adapter_config.json as PEFT reads and writes it.
import { z } from 'zod';
import { UsageError } from '../util/errors.js';
import type { BertConfig } from '../models/config.js';
import { readJson } from '../util/json.js';
import type { Lora } from '../models/lora.js';
import { targetModulesOf } from '../models/lora-targets.js';

export const ADAPTER_CONFIG = 'adapter_config.json';

/** The version whose files we write; it is noted in them, as PEFT notes its own. */
const PEFT_VERSION = '0.21.2';

/** What is read of the file; which layers have adapters is seen from the weights. */
const SCHEMA = z.looseObject({
  peft_type: z.literal('LORA', { error: 'LORA, the one kind of adapter that bertune knows' }),
  r: z.int({ error: 'a whole number from 1' }).min(1, 'a whole number from 1'),
  lora_alpha: z.number({ error: 'a number above 0' }).positive('a number above 0'),
  lora_dropout: z
    .number({ error: 'a number from 0 to below 1' })
    .min(0, 'a number from 0 to below 1')
    .lt(1, 'a number from 0 to below 1')
    .default(0),
  bias: z.literal('none', { error: 'none: trained biases are not read' }).default('none'),
  use_rslora: z.boolean({ error: 'true or false' }).default(false),
  // Other strings (pissa, olora, corda ...) change the weights of the base.
  init_lora_weights: z
    .union([z.boolean(), z.literal('gaussian')], {
      error: 'true, false or gaussian: the others change the base',
    })
    .default(true),
  modules_to_save: z.array(z.string(), { error: 'a list of names' }).nullish(),
  base_model_name_or_path: z.string({ error: 'the folder or hub id of the base' }).nullish(),
  revision: z.string({ error: 'a text' }).nullish(),
});

/** Variants of LoRA that compute something else. Anything but nothing is refused by name. */
const UNSUPPORTED = [
  'use_dora',
  'fan_in_fan_out',
  'rank_pattern',
  'alpha_pattern',
  'lora_bias',
  'use_qalora',
  'use_bdlora',
  'layer_replication',
  'trainable_token_indices',
  'target_parameters',
  'alora_invocation_tokens',
  'arrow_config',
  'kasa_config',
  'monteclora_config',
  'velora_config',
];

/** What the file says of an adapter; `modules` and `saved` are seen from the weights. */
export type AdapterConfig = Omit<Lora, 'modules' | 'saved' | 'base'> & { readonly base: string | null };

/** @throws UsageError naming the file and the key that is wrong or not supported */
export async function readAdapterConfig(path: string): Promise<AdapterConfig> {
  const parsed = SCHEMA.safeParse(await readJson(path));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const key = issue?.path.join('.') ?? '';
    throw new UsageError(
      key === '' ? `${path} is not a JSON object` : `${path}: expected ${issue?.message} for ${key}`,
    );
  }
  const { data } = parsed;
  const unsupported = UNSUPPORTED.find((key) => !isNothing(data[key]));
  if (unsupported !== undefined)
    throw new UsageError(
      `${path}: ${unsupported} is ${JSON.stringify(data[unsupported])}, which bertune does not support; merge that adapter with PEFT (merge_and_unload) and give the result as the model`,
    );
  return {
    rank: data.r,
    alpha: data.lora_alpha,
    dropout: data.lora_dropout,
    isRankStabilised: data.use_rslora,
    modulesToSave: data.modules_to_save ?? [],
    base: data.base_model_name_or_path ?? null,
    revision: data.revision ?? null,
  };
}

function isNothing(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === false;
}

/** The content of adapter_config.json, keys sorted as PEFT's. What is left out has PEFT's defaults. */
export function adapterConfigJson(config: BertConfig, lora: Lora): Record<string, unknown> {
  return {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: lora.base,
    bias: 'none',
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: lora.alpha,
    lora_bias: false,
    lora_dropout: lora.dropout,
    modules_to_save: lora.modulesToSave,
    peft_type: 'LORA',
    peft_version: PEFT_VERSION,
    r: lora.rank,
    rank_pattern: {},
    revision: lora.revision,
    target_modules: targetModulesOf(config, lora.modules),
    task_type: 'SEQ_CLS',
    use_dora: false,
    use_rslora: lora.isRankStabilised,
  };
}
