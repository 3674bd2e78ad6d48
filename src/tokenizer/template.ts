// Where the special tokens go: the post-processor of a tokenizer.json as a flat list of pieces.
import type { TemplatePiece, TemplateProcessing, TokenizerJson } from './tokenizer-json.js';

/** A special token by its id, or the place of the first (A) or second (B) text. */
export type Piece = { typeId: number } & ({ id: number } | { sequence: 'A' | 'B' });

export interface Template {
  single: readonly Piece[];
  pair: readonly Piece[];
}

export function createTemplate(processor: TokenizerJson['post_processor']): Template {
  const a: Piece = { sequence: 'A', typeId: 0 };
  if (processor === null) return { single: [a], pair: [a, { sequence: 'B', typeId: 1 }] };
  if (processor.type === 'TemplateProcessing') {
    return { single: pieces(processor, processor.single), pair: pieces(processor, processor.pair) };
  }
  const roberta = processor.type === 'RobertaProcessing';
  const typeId = roberta ? 0 : 1;
  const sep: Piece = { id: processor.sep[1], typeId: 0 };
  const single: Piece[] = [{ id: processor.cls[1], typeId: 0 }, a, sep];
  const second: Piece[] = [{ sequence: 'B', typeId }, Object.assign({}, sep, { typeId })];
  return { single, pair: [...single, ...(roberta ? [sep] : []), ...second] };
}

/** The number of special tokens among the pieces. */
export function specialCount(template: readonly Piece[]): number {
  return template.filter((piece) => 'id' in piece).length;
}

function pieces(processor: TemplateProcessing, template: readonly TemplatePiece[]): Piece[] {
  return template.flatMap((piece): Piece[] => {
    if ('Sequence' in piece) return [{ sequence: piece.Sequence.id, typeId: piece.Sequence.type_id }];
    const { id, type_id: typeId } = piece.SpecialToken;
    return (processor.special_tokens[id]?.ids ?? []).map((token) => ({ id: token, typeId }));
  });
}
