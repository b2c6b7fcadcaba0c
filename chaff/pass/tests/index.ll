; ModuleID = 'test'
source_filename = "test"
target triple = "x86_64-pc-linux-gnu"

declare ptr @malloc(i64)

declare void @free(ptr)

define i32 @main(i32 %0, ptr %1) {
  %3 = add i32 %0, 7
  call void @c.5.0(i32 %3)
  ret i32 %3
}

; Function Attrs: nounwind
define internal void @c.5.0(i32 %0) #0 {
  %2 = sub i32 %0, 1000
  %3 = icmp ult i32 %2, 256
  br i1 %3, label %4, label %8

4:                                                ; preds = %1
  %5 = zext i32 %2 to i64
  %6 = lshr i64 %5, 3
  %7 = and i64 %6, 31
  call void @c.5.1(i64 %7)
  ret void

8:                                                ; preds = %1
  ret void
}

; Function Attrs: nounwind
define internal void @c.5.1(i64 %0) #0 {
  %2 = alloca [8 x i8], align 4
  %3 = alloca [32 x i8], align 4
  %4 = ptrtoint ptr %3 to i64
  %5 = add i64 %4, 0
  %6 = inttoptr i64 %5 to ptr
  store i32 1, ptr %6, align 1
  %7 = xor i64 %0, 0
  %8 = trunc i64 %7 to i8
  %9 = add i64 %4, %0
  %10 = inttoptr i64 %9 to ptr
  store i8 %8, ptr %10, align 1
  %11 = add i64 %4, 8
  %12 = inttoptr i64 %11 to ptr
  %13 = load i32, ptr %12, align 4
  %14 = add i64 %4, 12
  %15 = inttoptr i64 %14 to ptr
  %16 = load i32, ptr %15, align 4
  %17 = xor i32 %13, %16
  %18 = ptrtoint ptr %2 to i64
  %19 = icmp ult i32 %17, 0
  %20 = add i64 %18, 0
  %21 = inttoptr i64 %20 to ptr
  store i32 %17, ptr %21, align 1
  br i1 %19, label %22, label %26

22:                                               ; preds = %1
  %23 = add i32 %17, 1
  %24 = add i64 %18, 4
  %25 = inttoptr i64 %24 to ptr
  store i32 %23, ptr %25, align 1
  br label %26

26:                                               ; preds = %22, %1
  ret void
}

attributes #0 = { nounwind }
