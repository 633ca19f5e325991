"""The peer: DuckDB over the files of the table, behind pyarrow's Flight server. Prints its port."""

import pathlib
import sys

import duckdb
import pyarrow
import pyarrow.flight


class Peer(pyarrow.flight.FlightServerBase):
    """One query, streamed as DuckDB makes it."""

    def __init__(self, query):
        super().__init__("grpc://127.0.0.1:0")
        self.query = query

    def reader(self):
        """The query's batches, of as many rows as DuckDB gives by itself."""
        return duckdb.connect().sql(self.query).to_arrow_reader(122_880)

    def get_flight_info(self, context, descriptor):
        endpoint = pyarrow.flight.FlightEndpoint(descriptor.command, [])
        return pyarrow.flight.FlightInfo(self.reader().schema, descriptor, [endpoint], -1, -1)

    def do_get(self, context, ticket):
        reader = self.reader()
        return pyarrow.flight.GeneratorStream(reader.schema, iter(reader))


folder, columns = sys.argv[1:]
tables = [path for path in pathlib.Path(folder).rglob("_delta_log") if path.parent.name.startswith("orders")]
files = f"{tables[0].parent}/**/*.parquet"
query = f"SELECT {columns} FROM read_parquet('{files}', hive_partitioning = true)"
peer = Peer(query)
print(peer.port, flush=True)
peer.serve()
