/** An interval that goes on in hidden pages. */

/** A tick may come this much too early, in milliseconds, and counts all the same. */
const TOLERANCE_MS = 100;

/**
 * Calls back at an interval, also while the page is hidden.
 *
 * Browsers slow down the timers of hidden pages, after some minutes to one a minute, but not those of workers. So while the page
 * is hidden a worker ticks too; a content security policy must allow it (`worker-src blob:`). Where it does not, or where there
 * are no workers, the page's own timer goes on alone.
 */
export function everyInPage(milliseconds: number, callback: () => void): () => void {
  let last = performance.now();
  const tick = (): void => {
    const now = performance.now();
    if (now - last < milliseconds - TOLERANCE_MS) return;
    last = now;
    callback();
  };
  const timer = setInterval(tick, milliseconds);
  let stopWorker: (() => void) | undefined;
  const onVisibility = (): void => {
    stopWorker?.();
    stopWorker = undefined;
    if (document.visibilityState === "hidden") stopWorker = tickInWorker(milliseconds, tick);
    else tick();
  };
  // Absent in workers, whose timers are not slowed down.
  const hasPage = typeof document === "object";
  if (hasPage) {
    document.addEventListener("visibilitychange", onVisibility);
    onVisibility();
  }
  return () => {
    clearInterval(timer);
    stopWorker?.();
    if (hasPage) document.removeEventListener("visibilitychange", onVisibility);
  };
}

function tickInWorker(milliseconds: number, tick: () => void): (() => void) | undefined {
  const source = new Blob([`setInterval(() => postMessage(0), ${milliseconds})`], { type: "text/javascript" });
  const url = URL.createObjectURL(source);
  try {
    const worker = new Worker(url);
    worker.onmessage = tick;
    return () => worker.terminate();
  } catch {
    return undefined;
  } finally {
    URL.revokeObjectURL(url);
  }
}
