import type { ChangesetResult } from '../port/storage.ts'

/** What is told of a unit that could not be applied. */
export class Refused extends Error {
  readonly result: ChangesetResult

  constructor(result: ChangesetResult) {
    super(result.status)
    this.result = result
  }
}
