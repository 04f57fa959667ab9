import { DatabaseSync } from 'node:sqlite'

/** A tile of a zoom, by its column from the west and its row from the north; `data` has its features as JSON. */
export interface Tile {
  readonly zoom: number
  readonly column: number
  readonly row: number
  readonly data: string
}

const schema = `
  create table if not exists tiles (
    zoom integer not null,
    tile_column integer not null,
    tile_row integer not null,
    data text not null,
    primary key (zoom, tile_column, tile_row)
  ) strict, without rowid;
`

/** A cache of tiles in a SQLite file, which is created if it does not exist. */
export class TileStore implements Disposable {
  readonly #database: DatabaseSync

  constructor(file: string) {
    this.#database = new DatabaseSync(file)
    // A cache may lose its last tiles at a power cut. They are cut again when they are needed.
    this.#database.exec('pragma journal_mode = wal; pragma synchronous = normal')
    this.#database.exec(schema)
  }

  /** Puts tiles in one transaction. Putting a tile again replaces it. */
  put(tiles: readonly Tile[]): void {
    const insert = this.#database.prepare('insert or replace into tiles values (?, ?, ?, ?)')
    this.#database.exec('begin immediate')
    try {
      for (const { zoom, column, row, data } of tiles) insert.run(zoom, column, row, data)
      this.#database.exec('commit')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('rollback')
      throw error
    }
  }

  get count(): number {
    return Number(this.#database.prepare('select count(*) as count from tiles').get()?.count)
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }
}
