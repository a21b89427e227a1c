import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.util.Arrays;

/** Runs the test methods that the cases beside the program name; the first that fails ends it. */
public final class TrimtabRunner {
    private static final int SHOWN_FRAMES = 6;

    /** The argument chooses one case by its number; without it all are run. */
    public static void main(String[] arguments) throws Exception {
        Class<?> beside = Class.forName("java_programs.TrimtabTests");
        Class<?> tests = Class.forName((String) constant(beside, "NAME"));
        int cases = (int) constant(beside, "CASES");
        if (arguments.length > 0) {
            run(tests, Integer.parseInt(arguments[0]));
            return;
        }
        for (int index = 0; index < cases; index++) {
            run(tests, index);
        }
    }

    private static Object constant(Class<?> type, String name) throws Exception {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(null);
    }

    /** Each method has an object of its own. */
    private static void run(Class<?> tests, int index) throws Exception {
        String name = (String) constant(Class.forName("java_programs.TrimtabCase" + index), "NAME");
        try {
            tests.getMethod(name).invoke(tests.getConstructor().newInstance());
        } catch (InvocationTargetException error) {
            Throwable cause = error.getCause();
            AssertionError told = new AssertionError(name + " fails: " + cause);
            StackTraceElement[] frames = cause.getStackTrace();
            told.setStackTrace(Arrays.copyOf(frames, Math.min(frames.length, SHOWN_FRAMES)));
            throw told;
        }
    }
}
