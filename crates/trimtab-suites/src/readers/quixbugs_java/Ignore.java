package org.junit;

import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;

/** Marks what is not run. */
@Retention(RetentionPolicy.RUNTIME)
public @interface Ignore {
    String value() default "";
}
