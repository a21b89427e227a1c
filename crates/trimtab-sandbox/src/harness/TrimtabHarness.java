import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** Runs the one main method of the program; repeats the word on standard input once it has returned. */
public final class TrimtabHarness {
    /** The class whose main method is the one, whatever others there are; empty where none is named. */
    private static final String RUNNER = "";

    public static void main(String[] arguments) throws Throwable {
        List<Method> found = RUNNER.isEmpty() ? mains(Path.of(arguments[0])) : main(RUNNER);
        if (found.size() != 1) {
            System.err.println("the program has " + found.size() + " main methods; it needs one");
            Runtime.getRuntime().halt(1);
        }
        Method main = found.get(0);
        main.setAccessible(true);
        try {
            main.invoke(null, (Object) Arrays.copyOfRange(arguments, 1, arguments.length));
        } catch (InvocationTargetException error) {
            error.getCause().printStackTrace();
            System.err.flush();
            Runtime.getRuntime().halt(1);
        }
        System.out.flush();
        String word = new String(System.in.readAllBytes()).trim();
        new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true).println("\n@trimtab " + word);
        Runtime.getRuntime().halt(0);
    }

    private static List<Method> mains(Path folder) throws java.io.IOException {
        try (var files = Files.walk(folder)) {
            return files.map(file -> folder.relativize(file).toString())
                .filter(name -> name.endsWith(".class") && !name.contains("$") && !name.equals("TrimtabHarness.class"))
                .flatMap(name -> main(name.substring(0, name.length() - 6).replace('/', '.')).stream())
                .collect(Collectors.toList());
        }
    }

    private static List<Method> main(String name) {
        try {
            Class<?> type = Class.forName(name, false, TrimtabHarness.class.getClassLoader());
            return List.of(type.getDeclaredMethod("main", String[].class));
        } catch (NoSuchMethodException absent) {
            return List.of();
        } catch (ClassNotFoundException error) {
            throw new IllegalStateException(error);
        }
    }
}
