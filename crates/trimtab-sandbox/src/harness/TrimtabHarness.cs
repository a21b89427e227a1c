using System;
using System.Diagnostics;
using System.Linq;
using System.Reflection;

/// Runs the one Main of the program with assertions that throw; then repeats the word on standard input.
static class TrimtabHarness
{
    sealed class Strict : TraceListener
    {
        public override void Fail(string message) { Fail(message, null); }
        public override void Fail(string message, string detail)
        {
            throw new InvalidOperationException("assertion failed " + message + " " + detail);
        }
        public override void Write(string message) { Console.Error.Write(message); }
        public override void WriteLine(string message) { Console.Error.WriteLine(message); }
    }

    static int Main()
    {
        Trace.Listeners.Clear();
        Trace.Listeners.Add(new Strict());
        const BindingFlags Any = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        var mains = Assembly.GetExecutingAssembly().GetTypes()
            .Where(type => type != typeof(TrimtabHarness))
            .SelectMany(type => type.GetMethods(Any))
            .Where(method => method.Name == "Main")
            .ToArray();
        if (mains.Length != 1)
        {
            Console.Error.WriteLine("the program has " + mains.Length + " methods called Main; it needs one");
            return 1;
        }
        try
        {
            var arguments = mains[0].GetParameters().Length == 0 ? null : new object[] { new string[0] };
            var task = mains[0].Invoke(null, arguments) as System.Threading.Tasks.Task;
            if (task != null) task.GetAwaiter().GetResult();
        }
        catch (TargetInvocationException error)
        {
            Console.Error.WriteLine(error.InnerException);
            return 1;
        }
        Console.Out.Flush();
        var word = Console.In.ReadToEnd().Trim();
        var output = Console.OpenStandardOutput();
        var bytes = System.Text.Encoding.UTF8.GetBytes("\n@trimtab " + word + "\n");
        output.Write(bytes, 0, bytes.Length);
        output.Flush();
        Environment.Exit(0);
        return 0;
    }
}
