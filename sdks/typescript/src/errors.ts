/**
 * The root of all errors of this package.
 *
 * @packageDocumentation
 */

const MARK = Symbol.for("agentnet.error");

/** What an {@link AgentNetError} is made of, beside its message. */
export interface AgentNetErrorData {
  /** A stable code, to switch on. */
  code: string;
  /** More about it: what the other side said, a name, a size. */
  detail?: string;
}

/**
 * The root of all errors of this package. `code` is stable; the message is for people.
 *
 * `instanceof` fails where a program loads the package twice (once by `import`, once by `require`): use {@link isAgentNetError} there.
 */
export class AgentNetError extends Error {
  /** A stable code, to switch on. */
  readonly code: string;
  /** More about it, if known. */
  readonly detail?: string;

  constructor(message: string, data: AgentNetErrorData, options?: ErrorOptions) {
    super(message, options);
    this.name = "AgentNetError";
    this.code = data.code;
    if (data.detail !== undefined) this.detail = data.detail;
    Object.defineProperty(this, MARK, { value: true });
  }
}

/** Whether a value is an {@link AgentNetError}, also one of another copy of this package. */
export function isAgentNetError(value: unknown): value is AgentNetError {
  return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[MARK] === true;
}
