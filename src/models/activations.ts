// The `hidden_act` names of BERT configs and the function that each one means.

/** The functions themselves, each under one name; `gelu_pytorch_tanh` is the tanh approximation of GELU. */
export type Activation = 'gelu' | 'gelu_pytorch_tanh' | 'relu' | 'silu' | 'tanh';

/**
 * The values of `hidden_act` that a BERT config may have. Several names mean the same function, written in
 * different ways in Python. Source: transformers 5.18, `activations.py`, `ACT2CLS`.
 */
export const HIDDEN_ACTIVATIONS = {
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu_pytorch_tanh',
  gelu_fast: 'gelu_pytorch_tanh',
  gelu_accurate: 'gelu_pytorch_tanh',
  gelu_pytorch_tanh: 'gelu_pytorch_tanh',
  gelu_python_tanh: 'gelu_pytorch_tanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
  tanh: 'tanh',
} as const satisfies Record<string, Activation>;

/** A `hidden_act` name as config.json has it. */
export type HiddenAct = keyof typeof HIDDEN_ACTIVATIONS;
