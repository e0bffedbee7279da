/** File names as references carry them: a name to show, never a path; and the types that follow from them. */

import { utf8Length } from "../../json/index.js";
import { DEFAULT_MIME_TYPE } from "../../protocol/index.js";

/** The longest file name, in bytes: the usual limit of file systems. */
const MAX_FILE_NAME_BYTES = 255;

/** Characters with a meaning to file systems or terminals, and marks that turn the direction of text around. */
const HARMFUL = /[/\\:*?"<>|\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/** The name without what means something to a file system or a terminal; undefined if nothing is left of it. */
export function shownName(name: string): string | undefined {
  let shown = "";
  let bytes = 0;
  for (const character of name.trim().replace(HARMFUL, "_")) {
    bytes += utf8Length(character);
    if (bytes > MAX_FILE_NAME_BYTES) break;
    shown += character;
  }
  return shown.replace(/^[.\s]+|[.\s]+$/gu, "") || undefined;
}

const TYPES: Readonly<Record<string, string>> = {
  aac: "audio/aac",
  avif: "image/avif",
  bin: DEFAULT_MIME_TYPE,
  bmp: "image/bmp",
  bz2: "application/x-bzip2",
  css: "text/css",
  csv: "text/csv",
  doc: "application/msword",
  docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  epub: "application/epub+zip",
  flac: "audio/flac",
  gif: "image/gif",
  gz: "application/gzip",
  htm: "text/html",
  html: "text/html",
  ico: "image/x-icon",
  ics: "text/calendar",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  js: "text/javascript",
  json: "application/json",
  log: "text/plain",
  md: "text/markdown",
  mjs: "text/javascript",
  mov: "video/quicktime",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  mpeg: "video/mpeg",
  odt: "application/vnd.oasis.opendocument.text",
  ogg: "audio/ogg",
  pdf: "application/pdf",
  png: "image/png",
  ppt: "application/vnd.ms-powerpoint",
  pptx: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
  rtf: "application/rtf",
  sh: "application/x-sh",
  svg: "image/svg+xml",
  tar: "application/x-tar",
  tif: "image/tiff",
  tiff: "image/tiff",
  toml: "text/x-toml",
  tsv: "text/tab-separated-values",
  txt: "text/plain",
  wasm: "application/wasm",
  wav: "audio/wav",
  webm: "video/webm",
  webp: "image/webp",
  xls: "application/vnd.ms-excel",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  xml: "text/xml",
  yaml: "text/x-yaml",
  yml: "text/x-yaml",
  zip: "application/zip",
};

/** What a file of this name most likely is. */
export function mimeTypeOf(filename: string | undefined): string {
  const extension = /[^/\\]\.([A-Za-z0-9]+)$/.exec(filename ?? "")?.[1]?.toLowerCase();
  if (extension === undefined || !Object.hasOwn(TYPES, extension)) return DEFAULT_MIME_TYPE;
  return TYPES[extension] ?? DEFAULT_MIME_TYPE;
}
