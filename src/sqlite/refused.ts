import type { UnitResult } from '../port/storage.ts'

/** What is told of a unit that could not be applied. */
export class Refused extends Error {
  readonly result: UnitResult

  constructor(result: UnitResult) {
    super(result.status)
    this.result = result
  }
}
