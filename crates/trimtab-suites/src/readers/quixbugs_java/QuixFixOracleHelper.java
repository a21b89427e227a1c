package java_testcases.junit;

import java.util.ArrayList;
import java.util.List;

/** Writes a result as the tests expect it: without blanks, every group in square brackets. */
public final class QuixFixOracleHelper {
    private QuixFixOracleHelper() {}

    /** Whole decimal numbers lose their `.0` if `asWhole` says so. */
    public static String format(Object result, boolean asWhole) {
        if (result instanceof Iterable) {
            List<String> parts = new ArrayList<>();
            for (Object part : (Iterable<?>) result) {
                parts.add(format(part, asWhole));
            }
            return "[" + String.join(",", parts) + "]";
        }
        String text = String.valueOf(result).replaceAll("\\s", "").replace('(', '[').replace(')', ']');
        boolean isDecimal = result instanceof Double || result instanceof Float;
        return asWhole && isDecimal && text.endsWith(".0") ? text.substring(0, text.length() - 2) : text;
    }
}
