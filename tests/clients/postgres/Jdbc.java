import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Objects;

/** PostgreSQL's driver for Java before the Postgres port: `Jdbc PORT` prints PASSED or fails. */
public class Jdbc {
    private static String url;

    private static Connection connect(String more) throws SQLException {
        return DriverManager.getConnection(url + more, "ann", "");
    }

    private static void equal(Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError(found + ", not " + expected);
        }
    }

    public static void main(String[] arguments) throws Exception {
        url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/shop";
        values();
        preparing();
        fetching();
        failing();
        System.out.println("PASSED");
    }

    /** Parameters and results of every type, before and after the driver prepares on the server. */
    private static void values() throws SQLException {
        String sql = "SELECT ?::int, ?::bigint, ?, ?::text, ?::date, ?::timestamp, ?::boolean,"
                + " ?::double precision, ?::timestamptz";
        BigDecimal amount = new BigDecimal("12345678901234567890.123456789");
        LocalDateTime at = LocalDateTime.of(2024, 2, 29, 12, 34, 56, 789_012_000);
        OffsetDateTime instant = OffsetDateTime.of(at, ZoneOffset.ofHours(2));
        try (Connection connection = connect("");
                PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int round = 0; round < 8; round++) {
                statement.setInt(1, round);
                statement.setLong(2, Long.MIN_VALUE);
                statement.setBigDecimal(3, amount);
                statement.setString(4, "ü'\\");
                statement.setObject(5, LocalDate.of(2024, 2, 29));
                statement.setObject(6, at);
                statement.setBoolean(7, true);
                statement.setDouble(8, 0.1);
                statement.setObject(9, instant);
                try (ResultSet rows = statement.executeQuery()) {
                    equal(rows.next(), true);
                    equal(rows.getInt(1), round);
                    equal(rows.getLong(2), Long.MIN_VALUE);
                    equal(rows.getBigDecimal(3), amount);
                    equal(rows.getString(4), "ü'\\");
                    equal(rows.getObject(5, LocalDate.class), LocalDate.of(2024, 2, 29));
                    equal(rows.getObject(6, LocalDateTime.class), at);
                    equal(rows.getBoolean(7), true);
                    equal(rows.getDouble(8), 0.1);
                    equal(rows.getObject(9, OffsetDateTime.class).toInstant(), instant.toInstant());
                    equal(rows.getMetaData().getColumnType(3), Types.NUMERIC);
                    equal(rows.next(), false);
                }
            }
            for (int place = 1; place <= 9; place++) {
                statement.setNull(place, Types.NULL);
            }
            try (ResultSet rows = statement.executeQuery()) {
                rows.next();
                equal(rows.getObject(3), null);
                equal(rows.getDate(5), null);
            }
        }
    }

    /** A statement that the driver prepares on the server from its fifth execution on. */
    private static void preparing() throws SQLException {
        try (Connection connection = connect("?prepareThreshold=5");
                PreparedStatement statement = connection.prepareStatement(
                        "SELECT count(*) FROM generate_series(1, 100) AS t WHERE value > ?")) {
            for (int round = 0; round < 12; round++) {
                statement.setInt(1, round);
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    equal(rows.getLong(1), 100L - round);
                }
            }
            equal(connection.isValid(5), true);
        }
    }

    /** Rows in pieces, which the driver does within a transaction. */
    private static void fetching() throws SQLException {
        try (Connection connection = connect("")) {
            connection.setAutoCommit(false);
            connection.setReadOnly(true);
            connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(1_000);
                long sum = 0;
                try (ResultSet rows = statement.executeQuery("SELECT value FROM generate_series(1, 25000)")) {
                    while (rows.next()) {
                        sum += rows.getLong(1);
                    }
                }
                equal(sum, 25_000L * 25_001 / 2);
            }
            connection.commit();
            equal(connection.getTransactionIsolation(), Connection.TRANSACTION_REPEATABLE_READ);
            DatabaseMetaData about = connection.getMetaData();
            equal(about.getDatabaseProductName(), "PostgreSQL");
            equal(about.getUserName(), "ann");
            connection.rollback();
        }
    }

    private static void failing() throws SQLException {
        try (Connection connection = connect("?ApplicationName=test");
                Statement statement = connection.createStatement()) {
            String[][] wrong = {
                {"SELECT * FROM missing", "42P01"},
                {"SELECT 1 / 0", "22012"},
                {"SELECT nothing", "42703"},
                {"SELCT 1", "42601"},
            };
            for (String[] pair : wrong) {
                try {
                    statement.executeQuery(pair[0]);
                    throw new AssertionError(pair[0] + " was answered");
                } catch (SQLException error) {
                    equal(error.getSQLState(), pair[1]);
                }
            }
            statement.setQueryTimeout(1);
            try {
                statement.executeQuery("SELECT count(*) FROM generate_series(1, 1000000) a,"
                        + " generate_series(1, 1000000) b");
                throw new AssertionError("it ended");
            } catch (SQLException error) {
                equal(error.getSQLState(), "57014");
            }
            statement.setQueryTimeout(0);
            try (ResultSet rows = statement.executeQuery("SHOW application_name")) {
                rows.next();
                equal(rows.getString(1), "test");
            }
            equal(statement.execute("SET jit = off"), false);
            connection.setAutoCommit(false);
            statement.execute("SELECT 1");
            connection.setSavepoint("here");
            try {
                statement.execute("SELECT nothing");
            } catch (SQLException error) {
                connection.rollback();
            }
            statement.execute("SELECT 1");
            connection.commit();
        }
    }
}
