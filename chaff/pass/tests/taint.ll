; ModuleID = 'test'
source_filename = "test"
target triple = "x86_64-pc-linux-gnu"

@level = global i32 3, align 4

declare ptr @malloc(i64)

declare void @free(ptr)

define i32 @main(i32 %0, ptr %1) {
  %3 = call i32 @__taint_argument(i32 0)
  %4 = call i32 @__taint_argument(i32 1)
  %5 = add i32 %0, 7
  %6 = zext i32 %0 to i64
  %7 = call i32 @__taint_operation(i32 2, i32 32, i32 32, i32 %3, i32 0, i64 %6, i64 7)
  %8 = zext i32 %5 to i64
  call void @__taint_value(i32 0, i32 %7, i64 %8)
  call void @__taint_set_return(i32 %7)
  ret i32 %5
}

declare i32 @__taint_argument(i32)

declare i32 @__taint_operation(i32, i32, i32, i32, i32, i64, i64)

declare void @__taint_value(i32, i32, i64)

declare void @__taint_set_return(i32)
