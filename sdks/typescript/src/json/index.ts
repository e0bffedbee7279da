/** JSON as the wire needs it: exact text, Python's coercions, canonical form (PROTOCOL.md sections 1 and 4). No I/O. */

export { JsonError, type JsonErrorReason } from "./error.js";
export { compactInteger, float, floatText, integerText, JsonNumber, numberText } from "./number.js";
export { type JsonValue, parse, parseLossless } from "./read.js";
export { type JsonRecord, RecordReader } from "./record.js";
export { canonical, persisted, persistedLength, wire } from "./rewrite.js";
export { fitsInside, MAX_DEPTH } from "./scan.js";
export {
  ascii,
  compareCodePoints,
  decodeUtf8,
  escaped,
  isUnicodeSpace,
  quote,
  trim,
  trimCharacters,
  trimCharactersEnd,
  trimCharactersStart,
  utf8Length,
} from "./text.js";
export { type JsonKind, JsonObject, JsonView, RawJson } from "./value.js";
export { integer, ObjectWriter, stringify } from "./write.js";
