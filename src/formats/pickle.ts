// Pickled weights (.bin, .pt), which can run code when they are read: never opened, only named.

/** A shell command that converts tensor by tensor, so that every head survives; clone() parts the tied ones. */
export function convertCommand(pickled: string, converted: string): string {
  return (
    `python -c "import torch, safetensors.torch as s; w = torch.load('${pickled}', weights_only=True); ` +
    `s.save_file({k: v.clone() for k, v in w.items()}, '${converted}', {'format': 'pt'})"`
  );
}
