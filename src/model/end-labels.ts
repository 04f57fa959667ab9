/** Public labels for jobs whose label does not come from a state of the chart. Child jobs use them too. */
export interface EndLabels {
  /** The label after the machine threw, or did not handle an error event. Default `'error'`. */
  readonly error?: string
  /** The label of a child job whose parent left its invoke. Default `'stopped'`. */
  readonly stopped?: string
  /** The label of a job that waits for its start time, or for its pipeline's slot. Default `'waiting'`. */
  readonly waiting?: string
}

/** The labels, with their defaults. */
export function endLabels(labels: EndLabels = {}): Required<EndLabels> {
  const { error = 'error', stopped = 'stopped', waiting = 'waiting' } = labels
  return { error, stopped, waiting }
}
