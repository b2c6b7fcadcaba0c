package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

func main() {
	var wait sync.WaitGroup
	sums := make(chan int, 100)
	for i := 0; i < 100; i++ {
		wait.Add(1)
		go func(n int) {
			defer wait.Done()
			time.Sleep(time.Millisecond)
			sum := 0
			for j := 0; j < 1000*n; j++ {
				sum += j % 7
			}
			sums <- sum
		}(i)
	}
	wait.Wait()
	close(sums)
	total := 0
	for sum := range sums {
		total += sum
	}
	fmt.Println("goroutines:", total)
	if err := os.WriteFile("/tmp/go-file", []byte("text"), 0o600); err != nil {
		fmt.Println(err)
	}
	text, err := os.ReadFile("/tmp/go-file")
	fmt.Println(string(text), err)
	os.Remove("/tmp/go-file")
	defer func() {
		fmt.Println("recovered:", recover() != nil)
		os.Exit(7)
	}()
	var nothing *int
	*nothing = 1
}
