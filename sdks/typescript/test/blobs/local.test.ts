/** Blobs in a directory (docs/BLOBS.md). */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import { BlobError, BlobNotFoundError, type BlobReference, BlobStore } from "../../src/index.js";
import { mimeTypeOf, shownName } from "../../src/node/blobs/names.js";
import { resolveBlobSettings } from "../../src/node/blobs/settings.js";

let directory: string;
let store: BlobStore;
before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "agentnet-blobs-"));
  store = BlobStore.local(path.join(directory, "store"));
});
after(() => rm(directory, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const code = (expected: string) => (error: unknown) => error instanceof BlobError && error.code === expected;

test("bytes, texts, files and streams are stored and read, with their reference", async () => {
  const bytes = randomBytes(700_001);
  const seen: (readonly [number, number | undefined])[] = [];
  const blob = await store.putBytes(bytes, {
    filename: "../chart.PNG",
    metadata: { of: "sales" },
    progress: (done, total) => seen.push([done, total]),
  });
  assert.match(blob.blobId, /^blob_[0-9a-z]{26}$/);
  assert.equal(blob.filename, "_chart.PNG");
  assert.equal(blob.mimeType, "image/png");
  assert.equal(blob.size, bytes.length);
  assert.equal(blob.sha256, sha256(bytes));
  assert.equal(blob.metadata?.text, '{"of":"sales"}');
  assert.deepEqual(seen.at(0), [0, 700_001]);
  assert.deepEqual(seen.at(-1), [700_001, 700_001]);
  assert.deepEqual(Buffer.from(await store.getBytes(blob)), bytes);
  assert.deepEqual(await store.head(blob.blobId), blob);

  const none = null as never;
  const text = await store.putBytes("héllo", none);
  assert.equal(await store.getText(text.blobId, none), "héllo");
  await assert.rejects(store.putBytes("x", "y" as never), { message: 'options must be an object, not "y"' });
  await assert.rejects(store.getText(blob), code("blob_not_text"));

  const file = path.join(directory, "in.csv");
  await writeFile(file, bytes);
  const ofFile = await store.putFile(file);
  assert.deepEqual([ofFile.filename, ofFile.mimeType, ofFile.sha256], ["in.csv", "text/csv", sha256(bytes)]);
  const target = path.join(directory, "out.csv");
  await writeFile(target, "before");
  assert.deepEqual(await store.getToFile(ofFile, target), ofFile);
  assert.deepEqual(await readFile(target), bytes);

  const ofStream = await store.putStream(new Blob([bytes, "x"]).stream());
  assert.equal(ofStream.size, bytes.length + 1);
  const opened = await store.open(ofStream);
  let size = 0;
  for await (const piece of opened) size += piece.length;
  assert.equal(size, opened.blob.size);
  const empty = await store.putBytes(new Uint8Array());
  assert.equal((await store.getBytes(empty)).length, 0);

  assert.equal(await store.delete(blob), true);
  assert.equal(await store.delete(blob), false);
  assert.equal(await store.head(blob), undefined);
  await assert.rejects(store.getBytes(blob), (error: unknown) => {
    return error instanceof BlobNotFoundError && error.code === "blob_not_found";
  });
});

test("the layout is that of the Python implementation", async () => {
  const blob = await store.putBytes("hi", { filename: "a.txt" });
  const meta = path.join(store.settings.dir, "meta", `${blob.blobId}.json`);
  assert.equal(await readFile(path.join(store.settings.dir, "data", blob.blobId), "utf8"), "hi");
  const written = JSON.parse(await readFile(meta, "utf8")) as Record<string, unknown>;
  assert.deepEqual(written, {
    type: "blob_ref",
    blob_id: blob.blobId,
    storage: "local_fs",
    mime_type: "text/plain",
    size_bytes: 2,
    filename: "a.txt",
    sha256: blob.sha256,
    created_at: blob.createdAt,
  });
});

test("a put that fails or is given up leaves nothing", async () => {
  const only = BlobStore.local(path.join(directory, "failing"));
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield randomBytes(500_000);
    throw new Error("the disk is on fire");
  }
  await assert.rejects(only.putStream(broken()), (error: unknown) => {
    return code("blob_source")(error) && /the disk is on fire/.test(String(error));
  });
  const abort = new AbortController();
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      yield randomBytes(500_000);
      abort.abort(new Error("enough"));
    }
  }
  await assert.rejects(only.putStream(endless(), { signal: abort.signal }), /enough/);
  await assert.rejects(only.putFile(path.join(directory, "missing")), code("blob_file"));
  await assert.rejects(only.putFile(directory), code("blob_file"));
  for (const folder of ["data", "meta"]) assert.deepEqual(await readdir(path.join(only.settings.dir, folder)), []);
});

test("damage is found before the last bytes, and a target file stays as it was", async () => {
  const bytes = randomBytes(600_000);
  const blob = await store.putBytes(bytes);
  const data = path.join(store.settings.dir, "data", blob.blobId);
  const changed = Buffer.from(bytes);
  changed[0] = (changed[0] ?? 0) ^ 1;
  await writeFile(data, changed);
  const target = path.join(directory, "kept.txt");
  await writeFile(target, "before");
  await assert.rejects(store.getToFile(blob, target), code("blob_damaged"));
  assert.equal(await readFile(target, "utf8"), "before");
  let given = 0;
  await assert.rejects(
    (async () => {
      for await (const piece of await store.open(blob)) given += piece.length;
    })(),
    code("blob_damaged"),
  );
  assert.ok(given < bytes.length);
  await writeFile(data, bytes.subarray(1));
  await assert.rejects(store.getBytes(blob), /it has 599999 bytes, not 600000/);
  await writeFile(data, bytes);
  const other: BlobReference = { ...blob, sha256: "0".repeat(64) };
  await assert.rejects(store.getBytes(other), code("blob_damaged"), "the reference that was sent counts");
  await writeFile(path.join(store.settings.dir, "meta", `${blob.blobId}.json`), "{");
  await assert.rejects(store.head(blob), code("blob_damaged"));
});

test("nothing leads out of the directory", async () => {
  for (const id of ["../x", "", "a/b", "a\\b", ".", "a b", "x".repeat(129), "a\n"]) {
    await assert.rejects(store.getBytes(id), code("blob_id_invalid"), JSON.stringify(id));
    await assert.rejects(
      store.delete({ blobId: id, storage: "local_fs", mimeType: "", size: 0 }),
      code("blob_id_invalid"),
    );
  }
  const secret = path.join(directory, "secret");
  await writeFile(secret, "secret");
  const blob = await store.putBytes("public");
  const data = path.join(store.settings.dir, "data", blob.blobId);
  await rm(data);
  await symlink(secret, data);
  await assert.rejects(store.getBytes(blob), /not a regular file/);
  await assert.rejects(store.getBytes({ ...blob, storage: "s3" }), code("blob_storage_unknown"));
  await assert.rejects(store.getBytes({ ...blob, storage: "nats_object" }), code("blob_not_connected"));
});

test("memory is limited, and leftovers of killed processes are swept", async () => {
  const small = new BlobStore({ dir: path.join(directory, "small"), memoryLimit: 10 });
  const blob = await small.putBytes("more than ten");
  await assert.rejects(small.getBytes(blob), code("blob_too_large"));
  assert.equal((await small.open(blob)).blob.size, 13);

  const { dir } = small.settings;
  const old = new Date(Date.now() - 7_200_000);
  for (const name of ["data/.put-1", "meta/.put-2", "data/orphan"]) {
    await writeFile(path.join(dir, name), "left");
    await utimes(path.join(dir, name), old, old);
  }
  await writeFile(path.join(dir, "data/.put-new"), "under way");
  await utimes(path.join(dir, "data", blob.blobId), old, old);
  assert.equal(await small.sweep(3_600_000), 3);
  assert.deepEqual((await readdir(path.join(dir, "data"))).sort(), [".put-new", blob.blobId].sort());
  assert.equal(await BlobStore.local(path.join(directory, "none")).sweep(0), 0);
  await mkdir(path.join(directory, "none"), { recursive: true });
});

test("names lose what could harm, and types go by the name", () => {
  const names: [string, string | undefined][] = [
    ["chart.png", "chart.png"],
    ["Größe – 日本語 😀.txt", "Größe – 日本語 😀.txt"],
    ["../../etc/passwd", "_.._etc_passwd"],
    ["C:\\x\n\0", "C__x__"],
    ["invoice\u202etxt.exe", "invoice_txt.exe"],
    [" . ", undefined],
    ["", undefined],
    ["..", undefined],
  ];
  for (const [name, shown] of names) assert.equal(shownName(name), shown, name);
  assert.equal(Buffer.byteLength(shownName("é".repeat(300)) ?? ""), 254);
  const types: [string | undefined, string][] = [
    ["a.PNG", "image/png"],
    ["日本語.json", "application/json"],
    ["x.csv", "text/csv"],
    ["x.md", "text/markdown"],
    ["x.unheard-of", "application/octet-stream"],
    ["x.constructor", "application/octet-stream"],
    ["png", "application/octet-stream"],
    [undefined, "application/octet-stream"],
  ];
  for (const [name, type] of types) assert.equal(mimeTypeOf(name), type, name);
});

test("settings come from the options, else the environment, and are checked", () => {
  const names = ["AGENTNET_BLOB_DIR", "AGENTNET_BLOB_STORAGE", "AGENTNET_BLOB_BUCKET", "AGENTNET_BLOB_REPLICAS"];
  const before = names.map((name) => process.env[name]);
  try {
    for (const name of names) delete process.env[name];
    assert.deepEqual(resolveBlobSettings(), {
      dir: ".agentnet_blobs",
      storage: "local_fs",
      bucket: "agentnet_blobs",
      replicas: 1,
      memoryLimit: 67_108_864,
      stallTimeoutMs: 30_000,
    });
    process.env.AGENTNET_BLOB_DIR = "/blobs";
    process.env.AGENTNET_BLOB_STORAGE = " nats_object ";
    process.env.AGENTNET_BLOB_BUCKET = " ";
    process.env.AGENTNET_BLOB_REPLICAS = "3";
    const { dir, storage, bucket, replicas } = resolveBlobSettings();
    assert.deepEqual([dir, storage, bucket, replicas], ["/blobs", "nats_object", "agentnet_blobs", 3]);
    assert.equal(resolveBlobSettings({ dir: "here", storage: "local" }).storage, "local_fs");
    process.env.AGENTNET_BLOB_STORAGE = "s3";
    assert.throws(
      () => resolveBlobSettings(),
      /AGENTNET_BLOB_STORAGE="s3" is no blob storage: use local or nats_object/,
    );
    assert.throws(() => resolveBlobSettings({ storage: "local", bucket: "a.b" }), /no name of a bucket/);
  } finally {
    for (const [index, name] of names.entries()) {
      const value = before[index];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
});
