/** The account that a connection publishes as in secure mode (PROTOCOL.md section 23.1). */

import { issuedSubject, splitIssuer } from "../protocol/index.js";

/** The code of a message whose sender is not the account that published it (section 23.6). */
export const ISSUER_MISMATCH = "auth_issuer_mismatch";

/** Adds and reads the last token of subjects; without an account, the network is in token mode, and subjects are those of section 2. */
export class Issuer {
  /** The own account, in secure mode. */
  readonly accountId: string | undefined;

  constructor(accountId: string | undefined) {
    this.accountId = accountId;
  }

  /** Whether the server proves who published a message. */
  get isSecure(): boolean {
    return this.accountId !== undefined;
  }

  /** Where something for this subject is published. */
  publishSubject(subject: string): string {
    return this.accountId === undefined ? subject : issuedSubject(subject, this.accountId);
  }

  /** What to subscribe to for a subject: in secure mode, that of every issuer. */
  subscribeSubject(subject: string): string {
    return this.accountId === undefined ? subject : issuedSubject(subject, "*");
  }

  /** The account that has published a message, in secure mode. */
  of(subject: string): string | undefined {
    return this.accountId === undefined ? undefined : splitIssuer(subject)?.[1];
  }

  /** Whether a message on this subject may name this account as its sender. In token mode, each may. */
  vouchesFor(subject: string, accountId: string | undefined): boolean {
    return this.accountId === undefined || (accountId !== undefined && this.of(subject) === accountId);
  }
}
