/** Where the package reports what happens beside the calls: lost connections, refused messages, failed handlers. */

/** A sink for log records. `console` is one, and so are the loggers of pino and winston with `(message, fields)`. */
export interface Logger {
  /** Details for debugging: refused messages, ignored receipts. */
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** What should be looked at: a lost connection, a heartbeat that was not sent. */
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Failures of handlers, with their stack. */
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

const nothing = (): void => undefined;

/** A logger that drops everything. */
export const SILENT_LOGGER: Logger = Object.freeze({ debug: nothing, warn: nothing, error: nothing });

/** The default: warnings and errors to the console, as `agentnet: message {fields}`. */
export const CONSOLE_LOGGER: Logger = Object.freeze({
  debug: nothing,
  warn: (message: string, fields?: Readonly<Record<string, unknown>>) => write("warn", message, fields),
  error: (message: string, fields?: Readonly<Record<string, unknown>>) => write("error", message, fields),
});

function write(level: "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>): void {
  const words: unknown[] = fields === undefined ? [`agentnet: ${message}`] : [`agentnet: ${message}`, fields];
  // biome-ignore lint/suspicious/noConsole: it is the console's logger.
  console[level](...words);
}

/** The given logger, such that none of its failures reaches the caller. */
export function guarded(logger: Logger): Logger {
  const guard =
    (level: keyof Logger) =>
    (message: string, fields?: Readonly<Record<string, unknown>>): void => {
      try {
        logger[level](message, fields);
      } catch {
        // A logger that fails must not end the work that it reports on.
      }
    };
  return { debug: guard("debug"), warn: guard("warn"), error: guard("error") };
}
