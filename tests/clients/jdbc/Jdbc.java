// The Flight SQL JDBC driver at its work: what a BI tool asks of a connection, in one go.
//
//     java -cp driver.jar:classes Jdbc 127.0.0.1:8815
//
// Prints a line for each thing seen, which tests/acceptance/flight_clients.py compares.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.TreeSet;

public final class Jdbc {
    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        try (Connection connection = DriverManager.getConnection(url)) {
            metadata(connection.getMetaData());
            values(connection);
            parameters(connection);
            updates(connection);
            mistakes(connection);
            many(connection);
        }
        try (Connection connection = DriverManager.getConnection(url + "&user=ada&password=x")) {
            System.out.println("with a name: " + one(connection, "SELECT 'in' AS t"));
        }
    }

    private static void metadata(DatabaseMetaData about) throws SQLException {
        System.out.println("server: " + about.getDatabaseProductName());
        System.out.println("quote: " + about.getIdentifierQuoteString());
        System.out.println("catalogs: " + column(about.getCatalogs(), "TABLE_CAT"));
        System.out.println("has public: " + column(about.getSchemas(), "TABLE_SCHEM").contains("public"));
        System.out.println("kinds: " + column(about.getTableTypes(), "TABLE_TYPE"));
        String[] kinds = {"TABLE"};
        System.out.println("tables: " + column(about.getTables(null, "public", "orde_s", kinds), "TABLE_NAME"));
        try (ResultSet columns = about.getColumns(null, "public", "orders", "total")) {
            while (columns.next()) {
                System.out.println("column: " + columns.getString("COLUMN_NAME") + " "
                        + columns.getInt("DATA_TYPE") + " " + columns.getInt("COLUMN_SIZE") + ","
                        + columns.getInt("DECIMAL_DIGITS"));
            }
        }
        System.out.println("keys: " + column(about.getPrimaryKeys(null, "public", "keyed"), "COLUMN_NAME"));
        System.out.println("transactions: " + about.supportsTransactions());
        // Everything else a tool may ask must have an answer.
        about.getSQLKeywords();
        about.getNumericFunctions();
        about.getMaxStatementLength();
        about.supportsOuterJoins();
        about.supportsUnion();
        about.getDefaultTransactionIsolation();
        about.supportsResultSetType(ResultSet.TYPE_FORWARD_ONLY);
    }

    private static void values(Connection connection) throws SQLException {
        String query = "SELECT 123456789012345678901.25::DECIMAL(38, 2) AS amount, 9007199254740993 AS id, "
                + "'grün' AS text, DATE '2026-02-28' AS day, TIMESTAMPTZ '2026-03-29T01:30:00.123456Z' AS at, "
                + "NULL::BIGINT AS nothing, 0.5::DOUBLE AS half, true AS yes";
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(query)) {
            rows.next();
            System.out.println("amount: " + rows.getBigDecimal("amount").equals(new BigDecimal("123456789012345678901.25")));
            System.out.println("id: " + rows.getLong("id"));
            System.out.println("text: " + rows.getString("text").equals("gr\u00fcn"));
            System.out.println("day: " + rows.getDate("day"));
            System.out.println("at: " + rows.getTimestamp("at").toInstant());
            System.out.println("nothing: " + rows.getObject("nothing"));
            System.out.println("half: " + rows.getDouble("half") + " " + rows.getBoolean("yes"));
            System.out.println("more: " + rows.next());
        }
    }

    private static void parameters(Connection connection) throws SQLException {
        String query = "SELECT $1 + 1 AS n, $2 AS text, $3::DECIMAL(20, 2) AS amount";
        try (PreparedStatement statement = connection.prepareStatement(query)) {
            for (int round = 1; round <= 2; round++) {
                statement.setLong(1, round);
                statement.setString(2, "it's " + round);
                statement.setBigDecimal(3, new BigDecimal("10.50"));
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    System.out.println("bound: " + rows.getLong(1) + " " + rows.getString(2) + " "
                            + rows.getBigDecimal(3));
                }
            }
        }
    }

    private static void updates(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            System.out.println("made: " + statement.executeUpdate("CREATE VIEW of_jdbc AS SELECT 7 AS n"));
        }
        System.out.println("view: " + one(connection, "SELECT n FROM of_jdbc"));
        try (Statement statement = connection.createStatement()) {
            statement.execute("DROP VIEW of_jdbc");
        }
        try (Statement statement = connection.createStatement()) {
            // A setting lasts for the connection.
            statement.execute("SET timezone = 'Asia/Tokyo'");
        }
        System.out.println("zone: " + one(connection, "SHOW timezone"));
    }

    private static void mistakes(Connection connection) {
        try {
            one(connection, "SELECT totl FROM orders");
            System.out.println("mistake: none");
        } catch (SQLException error) {
            System.out.println("mistake: " + error.getMessage().contains("did you mean \"total\""));
        }
    }

    private static void many(Connection connection) throws SQLException {
        String query = "SELECT value, 'row ' || value AS text FROM generate_series(1, 300000) AS t(value)";
        long rows = 0;
        long sum = 0;
        try (Statement statement = connection.createStatement();
                ResultSet found = statement.executeQuery(query)) {
            while (found.next()) {
                rows++;
                sum += found.getLong(1);
            }
        }
        System.out.println("many: " + rows + " " + sum);
        // One that is closed early gives its place back.
        try (Statement statement = connection.createStatement();
                ResultSet found = statement.executeQuery(query)) {
            found.next();
        }
        System.out.println("after: " + one(connection, "SELECT 1 AS n"));
    }

    private static String one(Connection connection, String query) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(query)) {
            return rows.next() ? rows.getString(1) : null;
        }
    }

    private static TreeSet<String> column(ResultSet rows, String name) throws SQLException {
        TreeSet<String> values = new TreeSet<>();
        try (rows) {
            while (rows.next()) {
                values.add(rows.getString(name));
            }
        }
        return values;
    }
}
