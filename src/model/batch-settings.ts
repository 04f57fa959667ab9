/** What the model knows of a batch. */
export interface BatchSettings {
  /** How many items a batch with this input has. `undefined`: that is known when its source has ended. Never throws. */
  readonly totalOf: (input: unknown) => number | undefined
}
