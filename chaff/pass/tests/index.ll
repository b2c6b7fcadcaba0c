; ModuleID = 'test'
source_filename = "test"
target triple = "x86_64-pc-linux-gnu"

@level = global i32 3, align 4

declare ptr @malloc(i64)

declare void @free(ptr)

define i32 @main(i32 %0, ptr %1) {
  %3 = add i32 %0, 7
  %4 = sub i32 %3, 1000
  %5 = icmp ult i32 %4, 256
  br i1 %5, label %6, label %8

6:                                                ; preds = %2
  %7 = zext i32 %4 to i64
  call void @c.5.1(i64 %7)
  br label %c.5.0.exit

8:                                                ; preds = %2
  br label %c.5.0.exit

c.5.0.exit:                                       ; preds = %8, %6
  ret i32 %3
}

; Function Attrs: nounwind
define internal void @c.5.1(i64 %0) #0 {
  %2 = alloca [8 x i8], align 4
  %3 = alloca [32 x i8], align 4
  %4 = lshr i64 %0, 3
  %5 = and i64 %4, 31
  %6 = ptrtoint ptr %3 to i64
  %7 = add i64 %6, 0
  %8 = inttoptr i64 %7 to ptr
  store i32 1, ptr %8, align 1
  %9 = xor i64 %5, 0
  %10 = trunc i64 %9 to i8
  %11 = add i64 %6, %5
  %12 = inttoptr i64 %11 to ptr
  store i8 %10, ptr %12, align 1
  %13 = add i64 %6, 8
  %14 = inttoptr i64 %13 to ptr
  %15 = load i32, ptr %14, align 4
  %16 = add i64 %6, 12
  %17 = inttoptr i64 %16 to ptr
  %18 = load i32, ptr %17, align 4
  %19 = sub i32 %15, %18
  %20 = ptrtoint ptr %2 to i64
  %21 = load i32, ptr @level, align 4
  %22 = icmp ult i32 %19, %21
  %23 = add i64 %20, 0
  %24 = inttoptr i64 %23 to ptr
  store i32 %19, ptr %24, align 1
  br i1 %22, label %25, label %29

25:                                               ; preds = %1
  %26 = add i32 %19, 1
  %27 = add i64 %20, 4
  %28 = inttoptr i64 %27 to ptr
  store i32 %26, ptr %28, align 1
  br label %29

29:                                               ; preds = %25, %1
  ret void
}

attributes #0 = { nounwind }
