package org.junit;

import java.util.Arrays;
import java.util.Objects;

/** Comparisons with the overloads of JUnit 4, so that calls choose between them as they do there. */
public final class Assert {
    private Assert() {}

    public static void assertEquals(Object expected, Object actual) {
        check(Objects.equals(expected, actual), expected, actual);
    }

    public static void assertEquals(long expected, long actual) {
        check(expected == actual, expected, actual);
    }

    /** Never holds: decimal numbers are compared within a tolerance. */
    public static void assertEquals(double expected, double actual) {
        throw new AssertionError("decimal numbers are compared with a tolerance: a third argument");
    }

    /** Two that are the same, not-a-number included, are equal within any tolerance. */
    public static void assertEquals(double expected, double actual, double tolerance) {
        boolean isSame = Double.compare(expected, actual) == 0;
        check(isSame || Math.abs(expected - actual) <= tolerance, expected, actual);
    }

    public static void assertEquals(float expected, float actual, float tolerance) {
        boolean isSame = Float.compare(expected, actual) == 0;
        check(isSame || Math.abs(expected - actual) <= tolerance, expected, actual);
    }

    public static void assertEquals(Object[] expected, Object[] actual) {
        check(Arrays.deepEquals(expected, actual), Arrays.deepToString(expected), Arrays.deepToString(actual));
    }

    private static void check(boolean holds, Object expected, Object actual) {
        if (!holds) {
            throw new AssertionError("expected " + expected + ", found " + actual);
        }
    }
}
