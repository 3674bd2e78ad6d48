// What JSON from other people may be: JSON.parse itself takes any depth and any number of values, and the memory that
// they need is up to 35 times that of the text.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** As serde_json has it, with which Hugging Face's Rust packages read the same files. */
const MAX_DEPTH = 128;
/** Twice the largest vocabulary of a published BERT (LaBSE, 501,153 tokens); such a text takes up to 200 MB. */
const MAX_VALUES = 1_000_000;

/** Why JSON text is not to be parsed, seen without parsing it; null where nothing speaks against it. */
export function jsonExcess(json: Uint8Array): string | null {
  return surveyJson(json).excess;
}

/** As {@link jsonExcess}, with the members of all objects, of which those with a key given twice get lost in parsing. */
export function surveyJson(json: Uint8Array): { excess: string | null; members: number } {
  let members = 0;
  let depth = 0;
  let values = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) at = stringEnd(json, at + 1);
    else if (byte === COLON) members++;
    else if (byte === COMMA) values++;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      values++;
      if (++depth > MAX_DEPTH) return { excess: `it is nested deeper than ${MAX_DEPTH} levels`, members };
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--;
  }
  return { excess: values > MAX_VALUES ? `it has more than ${MAX_VALUES} values` : null, members };
}

/** Index of the quote that closes a string whose first character is at `from`, or the end. */
function stringEnd(json: Uint8Array, from: number): number {
  for (let at = from; at < json.length; at++) {
    if (json[at] === BACKSLASH) at++;
    else if (json[at] === QUOTE) return at;
  }
  return json.length;
}
