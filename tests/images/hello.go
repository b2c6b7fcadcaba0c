package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
)

func main() {
	dir, _ := os.Getwd()
	fmt.Println(os.Args[1:], os.Getuid(), os.Getgid(), dir)
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "HOSTNAME=") {
			env = append(env, entry)
		}
	}
	sort.Strings(env)
	fmt.Println(env)
	var wait sync.WaitGroup
	sum := make(chan int, 100)
	for i := 0; i < 100; i++ {
		wait.Add(1)
		go func(i int) { defer wait.Done(); sum <- i * i }(i)
	}
	wait.Wait()
	close(sum)
	total := 0
	for part := range sum {
		total += part
	}
	fmt.Println(total)
	if len(os.Args) > 1 && os.Args[1] == "exit" {
		os.Exit(42)
	}
	if len(os.Args) > 1 && os.Args[1] == "panic" {
		panic("as asked")
	}
}
