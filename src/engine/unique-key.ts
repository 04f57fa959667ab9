import { JobchartError } from '../model/error.ts'

/** A new job was not stored, since a running or waiting one of its tenant and type has its unique key. */
export class UniqueKeyHeldError extends JobchartError {
  constructor(holder: string | undefined) {
    super(
      'ALREADY_RUNNING',
      'a job with this unique key is running or waiting; it has to end first',
      holder === undefined ? {} : { jobId: holder },
    )
  }
}
