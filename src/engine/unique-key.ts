import { JobchartError } from '../model/error.ts'

/** Thrown if a new job was not stored because a running or waiting job of its tenant and type has its unique key. */
export class UniqueKeyHeldError extends JobchartError {
  constructor(holder: string | undefined) {
    super(
      'ALREADY_RUNNING',
      'a job with this unique key is running or waiting; it must end first',
      holder === undefined ? {} : { jobId: holder },
    )
  }
}
